/** Data of the small server that serves this page; every address is relative to the page's own. */

import { isRecord } from "./container";
import { SourceError, type DataSource } from "./source";

export class ServerSource implements DataSource {
  readonly kind = "server";

  async manifest(): Promise<string> {
    return (await this.get("manifest")).text();
  }

  async json(name: string): Promise<unknown> {
    return (await this.get(name)).json();
  }

  async binary(name: string): Promise<ArrayBuffer> {
    return (await this.get(name)).arrayBuffer();
  }

  async image(name: string): Promise<Blob> {
    return (await this.get(name)).blob();
  }

  async post(name: string, body: unknown): Promise<unknown> {
    const answer = await this.ask(name, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    return answer.json();
  }

  private get(name: string): Promise<Response> {
    return this.ask(name, {});
  }

  private async ask(name: string, request: RequestInit): Promise<Response> {
    let answer: Response;
    try {
      answer = await fetch(name, request);
    } catch {
      throw new SourceError("the server does not answer: is lidistill view still running?");
    }
    if (!answer.ok) throw new SourceError(`${name}: ${reason(await answer.text())} (${answer.status})`);
    return answer;
  }
}

/** The server says {error: one line}; anything else is shown as it is, cut short. */
function reason(text: string): string {
  try {
    const answer: unknown = JSON.parse(text);
    if (isRecord(answer) && typeof answer.error === "string") return answer.error.slice(0, 500);
  } catch {
    // no JSON: a proxy's page, say
  }
  return text.slice(0, 200);
}
