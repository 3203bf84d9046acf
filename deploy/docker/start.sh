#!/bin/sh
# The image's entry point: tocsin with the kernels that were compiled when the image was built.
#
# numba uses a cache only where it can write, so the read-only copy in the image is no use where it lies: it is put into
# NUMBA_CACHE_DIR, which is all that needs to be writable (a tmpfs or an emptyDir). exec: signals go to tocsin itself.
set -eu
cp -R "${TOCSIN_KERNELS:-/opt/tocsin/kernels}/." "$NUMBA_CACHE_DIR/" || {
  echo "tocsin: NUMBA_CACHE_DIR=$NUMBA_CACHE_DIR must be a folder that user $(id -u) may write to" >&2
  exit 2
}
exec tocsin "$@"
