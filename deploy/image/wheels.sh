#!/bin/sh
# Download the wheels of a lock into wheels/, with the pip of this machine and its settings, so that a build needs
# no network: where an index is reached through a proxy, a mirror or a folder that only pip here knows.
#   deploy/image/wheels.sh service|service-certify|service-gpu|trainer
# pip takes the wheels of the Python that runs it: PYTHON names one of the base's version. [default: python3]
set -eu
cd "$(dirname "$0")/../.."

lock=${1:?name the lock: one of locks/, without .txt}
rm -rf wheels
for one in build "$lock"; do
  "${PYTHON:-python3}" -m pip download -qq --disable-pip-version-check --no-deps --require-hashes \
    --only-binary :all: -d wheels -r "locks/$one.txt"
done
