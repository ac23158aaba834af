#!/bin/bash
# Links the app's resources and compiles core, inference, the app and its test for a phone against
# Android 15, without Gradle and Android's SDK; a warning fails it. Takes KOTLINC_HEAP (1g).
#
# Leaves in build/app what apk.sh packs: AndroidManifest.xml, res.zip, and the classes of R (r) and of
# the modules (core, inference, app).
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
build=$PWD/build/app
mkdir -p "$build"
exec 9> "$build/lock"
flock 9

fetch() { "$python" ci/fetch.py "$1"; }
compiler=$(fetch kotlin-compiler)/package/lib
android=$(fetch android-all)
junit=$(fetch junit)
jna=$(fetch jna)
aapt2=$(fetch aapt2)
chmod +x "$aapt2"

compile() { # name, class path, sources...: into build/app/name, unless it is from just these
  local name=$1 path=$2 digest
  shift 2
  digest=$({
    for part in ${path//:/ }; do cat "$part.digest" 2> /dev/null || echo "$part"; done
    find "$@" -name '*.kt' -print0 | sort -z | xargs -0 sha256sum
  } | sha256sum)
  if [ "$(cat "$build/$name.digest" 2> /dev/null)" = "$digest" ]; then return; fi
  echo "Compiling $name"
  rm -rf "${build:?}/$name" "$build/$name.digest"
  # So short a work is done before Java's second compiler pays.
  java -Xmx"${KOTLINC_HEAP:-1g}" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$compiler/kotlin-preloader.jar" \
    org.jetbrains.kotlin.preloading.Preloader -cp "$compiler/kotlin-compiler.jar" \
    org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -kotlin-home "${compiler%/lib}" \
    -jvm-target 17 -Werror -module-name "$name" -cp "$path" -d "$build/$name" "$@"
  echo "$digest" > "$build/$name.digest"
}

link() { # the resources, for R; what Gradle adds to the manifest is added here
  version() { sed -n "s/^$1-sdk = \"\(.*\)\"$/\1/p" gradle/libs.versions.toml; }
  local gen=$build/gen manifest=$build/AndroidManifest.xml
  echo "Linking resources"
  rm -rf "$gen" "$build/r"
  sed 's/<manifest /&package="dev.tfi2i.demo" /' app/src/main/AndroidManifest.xml > "$manifest"
  "$aapt2" compile --dir app/src/main/res -o "$build/res.zip"
  "$aapt2" link -I "$android" --manifest "$manifest" --java "$gen" -o "$build/resources.apk" \
    --min-sdk-version "$(version min)" --target-sdk-version "$(version target)" "$build/res.zip"
  javac --release 17 -d "$build/r" "$gen"/dev/tfi2i/demo/R.java
  sha256sum "$gen"/dev/tfi2i/demo/R.java > "$build/r.digest"
}

link
compile core "$android" core/src/main/kotlin
# LiteRT's own classes cannot be had here; inference's tests bring what stands in for them.
mapfile -t doubles < <(find inference/src -name '*.kt' ! -name '*Test.kt' | sort)
compile doubles "$build/core:$jna:$junit:$android" "${doubles[@]}"
compile inference "$build/core:$build/doubles:$android" inference/src/main/kotlin
compile app "$build/r:$build/core:$build/inference:$android" app/src/main/kotlin
compile androidTest "$build/app:$build/r:$build/core:$build/inference:$junit:$android" \
  app/src/androidTest/kotlin
echo "The app compiles: $(find app/src -name '*.kt' | wc -l) files of its own."
