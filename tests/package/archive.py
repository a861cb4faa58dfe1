"""Packages a function for Lambda."""

import io
import subprocess
import tempfile
import zipfile
from pathlib import Path

# The time of each file in a zip. A fixed one makes equal binaries equal zips.
EPOCH = (1980, 1, 1, 0, 0, 0)


def archive(binary: Path, compresslevel: int) -> bytes:
    """A zip with only the binary, as `bootstrap`, without debug symbols."""
    entry = zipfile.ZipInfo("bootstrap", EPOCH)
    entry.external_attr = 0o755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with tempfile.NamedTemporaryFile() as stripped:
        subprocess.run(["strip", "-o", stripped.name, binary], check=True)
        code = Path(stripped.name).read_bytes()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr(entry, code, compresslevel=compresslevel)
    return zipped.getvalue()
