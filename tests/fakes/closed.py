"""A folder that nobody but its owner may look into, as ``lost+found`` on a disk of one's own."""

import os
from pathlib import Path


def close(folder, monkeypatch):
    """Makes it; it refuses the superuser, too, who runs tests in containers."""
    folder.mkdir(mode=0)
    real = {name: getattr(os, name) for name in ("access", "stat", "listdir", "scandir")}

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    def is_inside(path):
        return isinstance(path, str | Path) and folder in Path(path).parents

    def listing(name):
        def call(path="."):
            lies = isinstance(path, str | Path) and (Path(path) == folder or is_inside(path))
            return refuse(path) if lies else real[name](path)

        return call

    def access(path, mode, **more):
        return Path(path) != folder and real["access"](path, mode, **more)

    def stat(path, **more):
        return refuse(path) if is_inside(path) else real["stat"](path, **more)

    monkeypatch.setattr(os, "access", access)
    monkeypatch.setattr(os, "stat", stat)
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, listing(name))
    return folder
