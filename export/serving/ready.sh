#!/bin/bash
# `bash ready.sh NAME...` succeeds when the server in this container serves each model.
# The status answers 200 while a model loads, too, so its text is read; the image has no curl.
for name in "$@"; do
  exec 3<> "/dev/tcp/127.0.0.1/${REST_PORT:-8501}" || exit 1
  printf 'GET /v1/models/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$name" >&3
  grep -q '"AVAILABLE"' <&3 || exit 1
  exec 3>&-
done
