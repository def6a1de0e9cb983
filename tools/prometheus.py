"""Build Prometheus from its Go module at a path of this project, with the one kind of service discovery that the tests use.

Usage: prometheus.py VERSION PATH

`go install` refuses a module that replaces others, so a copy is built as the main module. The clients of all the clouds would
be most of the work: the copy is told to leave them out, which is what Prometheus's own plugins.yml is for.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

MODULE = "github.com/prometheus/prometheus"


def main(version, target):
    got = subprocess.run(["go", "mod", "download", "-json", f"{MODULE}@v{version}"], capture_output=True, text=True, check=False)
    if got.returncode != 0:
        return f"Prometheus {version} could not be had: its test is skipped\n{got.stdout}{got.stderr}"
    source = pathlib.Path(json.loads(got.stdout)["Dir"])
    target = pathlib.Path(target).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as tmp:
        copy = pathlib.Path(tmp, "prometheus")
        shutil.copytree(source, copy, copy_function=shutil.copyfile)
        for folder in [copy, *copy.rglob("*")]:
            if folder.is_dir():
                folder.chmod(0o755)
        (copy / "plugins/plugins.go").write_text(f'package plugins\n\nimport _ "{MODULE}/discovery/consul"\n')
        part = target.with_suffix(".part")
        build = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", part, "./cmd/prometheus"]
        if subprocess.run(build, cwd=copy, check=False).returncode != 0:
            return f"Prometheus {version} could not be built: its test is skipped"
        part.rename(target)
    return None


sys.exit(main(*sys.argv[1:]))
