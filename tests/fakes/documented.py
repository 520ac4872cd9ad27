"""The commands that README, docs, recipe comments and help texts show."""

import inspect
import re
import shlex

from golden_cases import ROOT

from lidistill.cli import COMMANDS
from lidistill.recipes import recipe_names, recipe_text

PAGES = (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))
MEANT = {  # what a general word stands for, by the command it stands in
    "probe RECIPE": "probe/scalr/nuscenes",
    "finetune RECIPE": "finetune/scalr/nuscenes",
    "recipes NAME": "pretrain/scalr",
    "pretrain runs/published/recipe.yaml": "pretrain/scalr",  # which an import of it writes
}
WORDS = {"RUN": "runs/run", "PROBE": "runs/probed", "S": "0", "STREET": "runs/street", "…": ""}


def of_text(text):
    """Every ``lidistill …`` in a page: lines of code blocks, and inline code."""
    blocks = re.findall(r"^```(?:console|bash)\n(.*?)^```", text, flags=re.M | re.S)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        yield from re.findall(r"^(?:\$ |srun.* )?(lidistill .*|torchrun .*-m lidistill .*)", line)
    yield from re.findall(
        r"`(lidistill [^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    )


def of_comments(text):
    """Every ``# lidistill …`` in a recipe."""
    joined = re.sub(r" \\\n#\s+", " ", text)
    yield from re.findall(r"^# (lidistill .*)", joined, flags=re.M)
    yield from re.findall(r"`(lidistill [^`\n]+)`", joined)


def of_help():
    """Every ``Example: lidistill …`` of a command's help."""
    for name, command in COMMANDS.items():
        module = __import__(f"lidistill.cli.{command.module}", fromlist=["_"])
        function = getattr(module, name.rsplit(maxsplit=1)[-1].replace("-", "_"))
        text = re.sub(r"\n\s{8,}", " ", inspect.getdoc(function) or "").replace("\n    ", " ")
        yield from re.findall(r"^(?:Example|Then|Look.*?): (lidistill .*)", text, flags=re.M)


def words_of(command):
    """The words after ``lidistill``, with something in the place of each general word."""
    line = re.sub(r"^.*-m lidistill", "lidistill", command)
    line = re.sub(r"\s+#.*|\s+&$", "", line).replace("[", " [").replace("RUN …", "RUN")
    for general, meant in MEANT.items():
        line = line.replace(f"lidistill {general}", f"lidistill {general.split()[0]} {meant}")
    words = [word for word in shlex.split(line)[1:] if word not in {"…", "…]"}]
    found = []
    for word in words:
        key, equals, value = word.strip("[]" if word.startswith("[") else "").partition("=")
        value = WORDS.get(value, value)
        found.append(f"{key}{equals}{value}" if equals else WORDS.get(key, key))
    return tuple(found)


def all_commands():
    """The words of every command that is shown anywhere, once each."""
    texts = [command for page in PAGES for command in of_text(page.read_text(encoding="utf-8"))]
    comments = [c for name in recipe_names() for c in of_comments(recipe_text(name))]
    words = {words_of(command) for command in (*texts, *comments, *of_help())}
    return sorted(found for found in words if not found[0].startswith("--"))
