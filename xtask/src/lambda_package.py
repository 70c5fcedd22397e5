"""Writes a zip whose bytes follow from the files alone: lambda_package.py ZIP NAME=FILE …; all may be executed."""

import sys
import zipfile

out, *files = sys.argv[1:]
with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
    for given in files:
        name, path = given.split("=", 1)
        entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.create_system = 3  # Unix, whose rights follow.
        entry.external_attr = 0o100755 << 16
        with open(path, "rb") as file:
            archive.writestr(entry, file.read())
