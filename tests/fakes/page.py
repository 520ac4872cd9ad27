"""A stand-in for the built page, with the one place that Python fills in."""

STAND_IN = """<!doctype html>
<html><head><title>page</title></head><body>
<script id="lidistill-data"></script>
<script type="module">document.title = lidistill_source;</script>
</body></html>
"""


def write_page(folder):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "index.html"
    file.write_text(STAND_IN)
    return file
