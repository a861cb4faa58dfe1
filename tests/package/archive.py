"""Packages a function for Lambda."""

import io
import subprocess
import tempfile
import zipfile
from pathlib import Path

# The time of each file in a zip. A fixed one makes equal binaries equal zips.
EPOCH = (1980, 1, 1, 0, 0, 0)
# Permissions are written as Unix does, wherever this runs.
UNIX = 3


def stripped(binary: Path) -> bytes:
    """A binary of this machine without debug symbols."""
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(["strip", "-o", file.name, binary], check=True)
        return Path(file.name).read_bytes()


def archive(code: bytes, compresslevel: int) -> bytes:
    """A zip with only the binary, as `bootstrap`. Depends on the binary and on the version of zlib alone."""
    entry = zipfile.ZipInfo("bootstrap", EPOCH)
    entry.create_system = UNIX
    entry.external_attr = 0o755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr(entry, code, compresslevel=compresslevel)
    return zipped.getvalue()
