import pytest

from lidistill.datasets.own.label_files import CLASS_TABLE, check_class_table, write_class_table
from lidistill.errors import ConfigError


def test_labels_that_stay_keep_their_meaning(tmp_path):
    table = tmp_path / CLASS_TABLE
    check_class_table(("road", "car"), table)  # nothing is known yet
    write_class_table(("road", "car"), table)
    check_class_table(("road", "car"), table)
    for names in (("car", "road"), ("road",), ("road", "car", "tree")):
        with pytest.raises(ConfigError, match="would come to mean other classes"):
            check_class_table(names, table)
