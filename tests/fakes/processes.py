"""Several processes that are forked and talk over gloo."""

import multiprocessing
import traceback

import torch
import torch.distributed as dist

FORK = multiprocessing.get_context("fork")


def together(action, folder, ranks=3):
    """Run an action in several processes; fails with the first one's traceback."""
    reports = FORK.SimpleQueue()

    def run(rank):
        try:
            torch.set_num_threads(1)
            store = dist.FileStore(str(folder / "store"), ranks)
            dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
            action(rank)
            dist.barrier()
            dist.destroy_process_group()
            reports.put("")
        except BaseException:  # noqa: BLE001  the test shows it
            reports.put(traceback.format_exc())

    processes = [FORK.Process(target=run, args=(rank,)) for rank in range(ranks)]
    for process in processes:
        process.start()
    found = [reports.get() for _ in processes]
    for process in processes:
        process.join()
    assert not any(found), next(text for text in found if text)
