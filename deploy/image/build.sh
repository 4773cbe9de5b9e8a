#!/bin/sh
# Build an image with docker, podman or buildah, whichever works here; BUILDER names one.
#   BASE=IMAGE@sha256:... deploy/image/build.sh TARGET [TAG] [options of the builder]
# FORMAT=oci gives an id that a rebuild repeats, without the health check, which OCI's format does not know.
set -eu
cd "$(dirname "$0")/../.."

target=${1:?name the target: service, service-gpu or trainer}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
tag=${2:-demur/$target:$version}
shift "$(($# < 2 ? $# : 2))"
if [ -z "${BASE:-}" ]; then
  echo "BASE is not set; it is an image with Python 3.11 or later, by its digest: BASE=IMAGE@sha256:..." >&2
  echo "(docs/container.md; deploy/image/base.sh makes one from Debian's packages)" >&2
  exit 2
fi

# A docker client without its daemon, as on many a build machine, is none.
builder() {
  if docker info >/dev/null 2>&1; then echo docker
  elif command -v podman >/dev/null && podman info >/dev/null 2>&1; then echo podman
  elif command -v buildah >/dev/null; then echo buildah
  else
    echo "no docker with a running daemon, no podman and no buildah is here; install one of them" >&2
    return 1
  fi
}
BUILDER=${BUILDER:-$(builder)}

epoch=$(git log -1 --format=%ct)
revision=$(git rev-parse HEAD)
[ -z "$(git status --porcelain)" ] || revision=$revision-dirty
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
set -- --target "$target" --tag "$tag" --build-arg "BASE=$BASE" --build-arg "SOURCE_DATE_EPOCH=$epoch" \
  --build-arg "REVISION=$revision" --build-arg "VERSION=$version" --build-arg "CREATED=$created" \
  --file Dockerfile "$@"
if [ "$BUILDER" = docker ]; then
  SOURCE_DATE_EPOCH=$epoch exec docker build "$@" .
fi
SOURCE_DATE_EPOCH=$epoch exec "$BUILDER" build --timestamp "$epoch" --format "${FORMAT:-docker}" "$@" .
