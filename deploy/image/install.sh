#!/bin/sh
# Inside of a build stage: install the packages of a lock into /opt/demur, or demur itself into /app.
#   install.sh packages LOCK
#   install.sh demur
# With wheels/ in the context no index is asked; otherwise pip's own is.
set -eu

context=$(cd "$(dirname "$0")/../.." && pwd)
python=/opt/demur/bin/python

# Bytecode that holds no times, so that a rebuild gives the same bytes, in one process, whose order is fixed.
# A template that is no Python of this version is never imported.
compile() {
  "$python" -m compileall -q --invalidation-mode unchecked-hash "$1" >/dev/null || true
}

# The tests of libraries, the converters of onnxruntime, and the definitions of the services of Amazon's that are
# neither S3 nor needed for its credentials (24 of 27 MB); and NVIDIA's libraries in one folder, since the loader
# takes no patterns.
tidy() {
  find "$1" -depth -type d \( -name tests -o -name test \) -exec rm -rf {} +
  rm -rf "$1/onnxruntime/transformers" "$1/onnxruntime/tools" "$1/onnxruntime/datasets"
  if [ -d "$1/botocore/data" ]; then
    find "$1/botocore/data" -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin \
      -exec rm -rf {} +
    find "$1/botocore" -name 'examples-*' -delete
  fi
  if [ -d "$1/nvidia" ]; then
    mkdir -p /opt/demur/lib/nvidia
    find "$1/nvidia" -name '*.so*' | sort | while read -r file; do
      ln -s "$file" "/opt/demur/lib/nvidia/$(basename "$file")"
    done
  fi
}

pip_install() {
  if [ -d "$context/wheels" ]; then set -- --no-index --find-links "$context/wheels" "$@"; fi
  /build/bin/python -m pip --python "$python" install --quiet --no-compile --no-deps --no-warn-script-location "$@"
}

site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
case $1 in
packages)
  pip_install --require-hashes --only-binary :all: -r "$context/locks/$2.txt"
  tidy "$site"
  compile "$site"
  ;;
demur)
  tools=$python && python=/build/bin/python
  pip_install --require-hashes --only-binary :all: -r "$context/locks/build.txt"
  python=$tools
  mkdir /source
  for part in pyproject.toml README.md bundle calibration demur deploy monitoring service trainer; do
    cp -r "$context/$part" /source
  done
  /build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --no-index -w /dist /source
  /build/bin/python -m pip --python "$python" install --quiet --no-compile --no-deps --no-warn-script-location \
    --root /app --no-index --find-links /dist demur
  compile "/app$site"
  ;;
*)
  echo "install.sh: the first argument is '$1'; it is packages or demur" >&2
  exit 2
  ;;
esac
