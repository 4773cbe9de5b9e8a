#!/bin/sh
# Write locks/: every package of an image, with its version and the digests of its files. `make lock` runs it.
# Versions are those of constraints.txt. uv asks the package index; UV_FIND_LINKS or UV_EXTRA_INDEX_URL name a place
# of torch's wheels for the CPU, which have an index of their own.
set -eu
cd "$(dirname "$0")/../.."

compile() {
  uv pip compile --quiet --upgrade --generate-hashes --no-annotate --custom-compile-command "make lock" \
    --no-emit-index-url --no-emit-find-links --python-version 3.11 --python-platform x86_64-manylinux_2_36 \
    --constraints constraints.txt "$@"
}

# lock NAME EXTRA...: the packages of demur with these extras
lock() {
  name=$1
  shift
  for extra; do
    set -- "$@" --extra "$extra"
    shift
  done
  compile pyproject.toml "$@" --output-file "locks/$name.txt"
  echo "locks/$name.txt"
}

lock service serve verify cpu s3
lock service-certify serve verify cpu s3 certify
lock service-gpu serve verify gpu cuda s3
lock trainer train sign sbom cpu
echo hatchling | compile - --output-file locks/build.txt
echo locks/build.txt
