"""Print NOTICE: the libraries that are linked into the binary, with their licences, as found in the module cache.

Usage: go list -deps -f '{{with .Module}}{{.Path}} {{.Version}} {{.Dir}}{{end}}' . | sort -u | notice.py
"""

import pathlib
import sys

MARKS = [
    ("MPL-2.0", "Mozilla Public License"),
    ("Apache-2.0", "Apache License"),
    ("ISC", "Permission to use, copy, modify, and/or distribute"),
    ("MIT", "Permission is hereby granted, free of charge"),
    ("BSD", "Redistribution and use in source and binary forms"),
]


def licence(folder):
    for file in sorted(pathlib.Path(folder).iterdir()):
        if file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "UNLICENSE")) and file.is_file():
            text = " ".join(file.read_text(errors="replace").split())
            for name, mark in MARKS:
                if mark in text:
                    return name
    return "UNKNOWN"


def main():
    print("Parley is licensed under the Apache License 2.0; see LICENSE. It links these libraries:\n")
    unknown = []
    for line in sys.stdin:
        fields = line.split()
        if len(fields) != 3 or fields[0] == "github.com/parleymesh/parley":
            continue
        name = licence(fields[2])
        if name == "UNKNOWN":
            unknown.append(fields[0])
        print(f"{name:<11} {fields[0]} {fields[1]}")
    if unknown:
        sys.exit("no licence was recognised: " + ", ".join(unknown))


main()
