import json

import numpy as np
import pytest
from golden_cases import golden_files, read_tensors

from lidistill.segment.metrics import confusion_matrix, scores


@pytest.mark.parametrize("file", golden_files("metrics/metrics_*.safetensors"))
def test_scores_equal_the_authors(file):
    tensors, _ = read_tensors(file)
    cases = json.loads(file.with_suffix(".json").read_text())
    for name, expected in cases.items():
        labels = tensors[f"{name}.labels"].numpy()
        predictions = tensors[f"{name}.pred"].numpy()
        confusion = confusion_matrix(labels, predictions, expected["n"])
        reference = tensors[f"{name}.hist_label_row_pred_col"].numpy()
        np.testing.assert_array_equal(confusion, reference)
        result = scores(confusion)
        # The authors divide by (count + 1e-?) in float32 here and there: 1e-6 is their rounding.
        np.testing.assert_allclose(result.iou, expected["iou"], rtol=1e-6)
        np.testing.assert_allclose(result.accuracy, expected["per_class_acc"], rtol=1e-6)
        assert result.mean_iou == pytest.approx(expected["mIoU"], rel=1e-6)
        assert result.mean_accuracy == pytest.approx(expected["mAcc"], rel=1e-6)
        assert result.overall_accuracy == pytest.approx(expected["oAcc"], rel=1e-6)
