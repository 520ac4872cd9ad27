"""Parsers of scan files: each turns one format into named columns, one value a point.

None of them allocates more than a small multiple of the file's own size, or of ``MAX_UNPACKED``
where the format compresses.
"""
