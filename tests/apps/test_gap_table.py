from types import SimpleNamespace

from lidistill.apps.gap import Gap, markdown


def test_a_set_without_a_common_class_has_no_score():
    def scored(value):
        return SimpleNamespace(scores=SimpleNamespace(mean_iou_of_truth=value))

    rows = ((scored(0.5), scored(float("nan"))), (scored(0.25), scored(1.0)))
    gap = Gap(names=("a", "b"), evaluations=rows, results=None, figure=None)
    assert "| a | 50.0 | – |\n| b | 25.0 | 100.0 |" in markdown(gap)
    assert gap.percent == [[50.0, None], [25.0, 100.0]]
