import numpy as np

from lidistill.viewer.differences import difference, most_different


def test_two_networks_that_learned_classes_differ_by_the_points_they_name_differently(content):
    probe = content.models[1]
    assert difference(probe, probe, 0, 900) == 0

    class Other:
        def class_of_points(self, index):
            names = probe.class_of_points(index)
            return ["other", *names[1:]] if index == 2 else names

    assert difference(probe, Other(), 2, 900) == 1 / 900
    assert difference(probe, Other(), 1, 900) == 0


def test_without_classes_they_differ_by_what_is_alike_to_them(content):
    distilled, probe = content.models
    assert difference(distilled, distilled, 0, 900) == 0
    # One backbone in both: the same features, but for the head of the first.
    found = difference(distilled, probe, 0, 900)
    assert 0 < found < 2
    points = np.linspace(0, 899, 400).astype(int)
    expected = np.abs(distilled.likeness(0, points) - probe.likeness(0, points)).mean()
    assert found == expected


def test_the_most_different_frame_comes_first(content, monkeypatch):
    apart = {0: 0.1, 1: 0.4, 2: 0.2, 3: 0.3}
    monkeypatch.setattr("lidistill.viewer.differences.difference", lambda *given: apart[given[2]])
    assert most_different(content, 3) == [1, 3, 2]
