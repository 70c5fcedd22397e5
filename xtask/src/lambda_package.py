"""Writes a reproducible zip of executable files: lambda_package.py ZIP NAME=FILE …"""

import sys
import zipfile

out, *files = sys.argv[1:]
with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
    for argument in files:
        name, path = argument.split("=", 1)
        entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.create_system = 3  # Unix; the file mode follows.
        entry.external_attr = 0o100755 << 16
        with open(path, "rb") as file:
            archive.writestr(entry, file.read())
