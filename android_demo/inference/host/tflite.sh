#!/bin/bash
# Runs InterpreterGenerator on TensorFlow Lite 2.16.1 itself, the classes and the library that
# ci/apk.sh packs, instead of the double: the library for Android on x86-64 runs here on a small
# stand-in for what Android's C library has and Linux's has not.
# Takes TFI2I_ANDROID_MODELS, and what ci/jvm.sh has compiled.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "$(uname -sm)" != "Linux x86_64" ]; then
  echo "TensorFlow Lite's library for Android does not run on $(uname -sm): left out." >&2
  exit
fi
: "${TFI2I_ANDROID_MODELS:?names no folder of models; tests/export/android_models.py makes one}"
python=${PYTHON:-python3}
jvm=$PWD/build/jvm
if [ ! -d "$jvm/inference" ]; then
  echo "Run ci/jvm.sh first: $jvm has no compiled classes." >&2
  exit 1
fi
host=$PWD/build/tflite
mkdir -p "$host"

engine=$("$python" ci/fetch.py tensorflow-lite)
api=$("$python" ci/fetch.py tensorflow-lite-api)
"$python" inference/host/unversioned.py "$engine/jni/x86_64/libtensorflowlite_jni.so" \
  "$host/libtensorflowlite_jni.so"
gcc -shared -fPIC -O1 -Wall -Werror -U_FORTIFY_SOURCE -fno-builtin inference/host/bionic.c \
  -Wl,-soname,liblog.so -Wl,--no-as-needed -lm -o "$host/liblog.so"

# The real classes come first: the double's, of the same names, are never loaded.
jars=$engine/classes.jar:$api/classes.jar:$jvm/inference:$jvm/core
jars=$jars:$("$python" ci/fetch.py --use jvm | paste -sd:)
jars=$jars:$("$python" ci/fetch.py kotlin-compiler)/package/lib/kotlin-stdlib.jar
java -ea -Xmx1g -Ddev.tfi2i.tflite="$host" -Djava.library.path="$host" -cp "$jars" \
  org.junit.runner.JUnitCore dev.tfi2i.inference.TfLiteTest
