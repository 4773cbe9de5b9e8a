#!/bin/sh
# Make a base image from Debian's packages alone, with Python, as an archive of files: needs mmdebstrap and root.
#   deploy/image/base.sh base.tar
# The time of the archive is SOURCE_DATE_EPOCH, by default that of the commit: a repetition from the same packages
# gives the same bytes. DEBIAN_MIRROR names another mirror than Debian's own.
set -eu

out=${1:?name the archive}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$(dirname "$0")" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
exec mmdebstrap --aptopt='Acquire::Retries "5"' --quiet --variant=minbase --mode=root --include=python3,python3-venv,ca-certificates \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/info/*' bookworm "$out" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
