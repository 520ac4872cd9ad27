from types import SimpleNamespace

from lidistill.data_check.findings import Finding
from lidistill.viewer.findings import frames_to_show, shown_findings

SCENES = tuple("aaaabbbbccccdddd")


class Drives:
    frame_ids = tuple(f"{scene}/{number}" for number, scene in enumerate(SCENES))
    drive_ids = SCENES

    def __len__(self):
        return len(SCENES)


def report(*findings, **changed):
    return SimpleNamespace(**{"findings": findings, "problems": (), "limits": ()} | changed)


def finding(*drives, cameras=(), severity="warning"):
    return Finding(
        fault="upside_down", severity=severity, text="<i>turned</i>", cameras=cameras, drives=drives
    )


def test_every_drive_that_something_was_found_in_has_a_frame():
    assert frames_to_show(Drives(), report(finding("b", "c")), most=2) == [0, 6, 10, 15]
    assert frames_to_show(Drives(), report(), most=3) == [0, 8, 15]
    assert frames_to_show(Drives(), report(finding("nowhere")), most=2) == [0, 15]


def test_a_finding_leads_to_where_it_is_seen():
    frames = SimpleNamespace(dataset=Drives(), indices=(0, 6, 7, 15))
    found = shown_findings(
        report(
            finding("b", "d", cameras=("front", "left")),
            finding("c"),
            finding(severity="note"),
            problems=("x.jpg does not decode",),
            limits=("too few frames",),
        ),
        frames,
    )
    assert [(f.severity, f.frame, f.view, f.drive) for f in found] == [
        ("warning", 1, "front", "b"),
        ("warning", None, None, "c"),
        ("note", 0, None, None),
        ("warning", None, None, None),
        ("note", None, None, None),
    ]
    assert found[0].text == "<i>turned</i>"
    assert found[4].text == "not told: too few frames"
