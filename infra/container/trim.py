#!/usr/bin/env python3
"""Makes an installation of posthouse small, and quick to start where its folder is read-only.

msgraph-sdk brings 130 MB of generated request builders and a 37 MB text export, of which posthouse loads about 50
modules (INFRA B1). Two steps, both on the environment whose Python runs this file:

  trim.py drop             removes generated parts that sending mail never touches
  trim.py compile MODULE   imports MODULE and compiles what that loaded, and every other package wholly
"""

import argparse
import compileall
import importlib
import py_compile
import re
import shutil
import sys
import sysconfig
from pathlib import Path

SITE = Path(sysconfig.get_path("purelib"))
GENERATED = SITE / "msgraph" / "generated"
KEPT_FOLDERS = {"models", "users"}
# The hash of the source is not looked at again: layers of an image may lose the sources' times of change.
MODE = py_compile.PycInvalidationMode.UNCHECKED_HASH


def drop() -> None:
    """Keeps the SDK's own modules, its models and the builders below /users; removes the rest of the generated code."""
    for entry in GENERATED.iterdir():
        if entry.is_dir() and entry.name not in KEPT_FOLDERS:
            shutil.rmtree(entry)
        elif entry.is_file() and entry.suffix != ".py":
            entry.unlink()


def compile_for(module: str) -> None:
    """Writes the bytecode that `import MODULE` needs; exits with 1 when a file does not compile."""
    importlib.import_module(module)
    for loaded in tuple(sys.modules.values()):
        source = Path(getattr(loaded, "__file__", None) or "")
        if source.suffix == ".py" and source.is_relative_to(GENERATED):
            py_compile.compile(str(source), doraise=True, invalidation_mode=MODE)
    generated = re.compile(re.escape(str(GENERATED)))
    if not compileall.compile_dir(SITE, rx=generated, quiet=1, maxlevels=30, invalidation_mode=MODE):
        sys.exit(1)


def main() -> None:
    """Reads the step from the command line and does it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("drop")
    steps.add_parser("compile").add_argument("module")
    arguments = parser.parse_args()
    if arguments.step == "drop":
        drop()
    else:
        compile_for(arguments.module)


if __name__ == "__main__":
    main()
