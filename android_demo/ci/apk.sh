#!/bin/bash
# Builds an APK of the app without Gradle and Android's SDK, signs it with a key made on the spot,
# and checks it: ci/apk.sh [MODELS]. It goes to build/apk/app.apk.
#
# MODELS is a folder of NAME.tflite with NAME.json; by default $TFI2I_ANDROID_MODELS, or the models
# of the app. LiteRT is not in this APK, as it is to be had with Gradle only: the app then runs
# models with TensorFlow Lite, which is. Needs apksigner and zipalign; root gets them itself.
set -euo pipefail
shopt -s inherit_errexit
models=$(realpath -m "${1:-${TFI2I_ANDROID_MODELS:-$(dirname "$0")/../app/src/main/assets/models}}")
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
app=$PWD/build/app
build=$PWD/build/apk
abis=(arm64-v8a x86_64)

fetch() { "$python" ci/fetch.py "$1"; }
version() { sed -n "s/^$1-sdk = \"\(.*\)\"$/\1/p" gradle/libs.versions.toml; }
setting() { sed -n "s/^ *$1 = \"\?\([^\"]*\)\"\?$/\1/p" app/build.gradle.kts; }

install_signing_tools() {
  if command -v apksigner > /dev/null && command -v zipalign > /dev/null; then return; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "Install apksigner and zipalign; Debian and Ubuntu have packages of these names." >&2
    exit 1
  fi
  echo "Installing apksigner and zipalign"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
    apksigner zipalign > /dev/null
}

androguard() { # the path of a Python that has it
  local digest venv
  digest=$(sha256sum ci/androguard.txt | cut -c 1-16)
  venv=${TFI2I_ANDROID_CACHE:-$HOME/.cache/tfi2i-android}/androguard-$digest
  if [ ! -e "$venv/ready" ]; then
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install -q --no-deps --only-binary=:all: -r ci/androguard.txt
    touch "$venv/ready"
  fi
  echo "$venv/bin/python"
}

check_new_api() { # what minSdk does not have is used only where new_api.txt says, guarded
  echo "Checking what Android had in API $min"
  local checker asm signatures
  checker=$(fetch animal-sniffer)
  asm=$(fetch asm)
  signatures=$(fetch "api-$min-signatures")
  java -cp "$checker:$asm" ci/NewApi.java "$signatures" \
    "$app/core" "$app/inference" "$app/app" > "$build/new_api.txt"
  if ! diff -U 0 --label known --label found \
    <(grep -v '^#' ci/new_api.txt) "$build/new_api.txt"; then
    echo "The app uses what API $min does not have, or no longer does. Check SDK_INT before it," \
      "with another way for older versions, and add the lines to ci/new_api.txt." >&2
    exit 1
  fi
}

gather_models() { # into assets/models: models that have a sidecar, and these
  local sidecar count=0
  mkdir -p "$build/assets/models"
  for sidecar in "$models"/*.json; do
    if [ ! -f "${sidecar%.json}.tflite" ]; then continue; fi
    cp "${sidecar%.json}.tflite" "$sidecar" "$build/assets/models"
    count=$((count + 1))
  done
  if [ "$count" = 0 ]; then
    echo "$models has no NAME.tflite with NAME.json; run tfi2i export RUN --to android_demo." >&2
    exit 1
  fi
}

link() { # the resources and assets; what Gradle adds to the manifest is added here
  echo "Linking resources and $(ls "$build"/assets/models/*.tflite | wc -l) models"
  sed 's/<application/& android:extractNativeLibs="false"/' "$app/AndroidManifest.xml" \
    > "$build/AndroidManifest.xml"
  "$aapt2" link -I "$android" --manifest "$build/AndroidManifest.xml" \
    --min-sdk-version "$min" --target-sdk-version "$target" \
    --version-code "$(setting versionCode)" --version-name "$(setting versionName)" \
    --proguard "$build/resources.pro" -A "$build/assets" -0 tflite \
    -o "$build/unaligned.apk" "$app/res.zip"
}

dex() { # shrinks as well, and fails if a class is missing that the app needs
  echo "Making classes.dex"
  local r8 name programs=("$lite/classes.jar" "$lite_api/classes.jar" "$compiler/kotlin-stdlib.jar")
  for name in core inference app r; do
    jar --create --no-manifest --file "$build/$name.jar" -C "$app/$name" .
    programs+=("$build/$name.jar")
  done
  mkdir "$build/dex"
  r8=$(fetch r8)
  java -Xmx"${R8_HEAP:-1g}" -cp "$r8" com.android.tools.r8.R8 --release --min-api "$min" \
    --lib "$android" --lib "$java_home" --lib "$compiler/annotations-13.0.jar" \
    --pg-conf ci/keep.pro --pg-conf "$build/resources.pro" \
    --pg-conf "$lite/proguard.txt" --pg-conf "$lite_api/proguard.txt" \
    --output "$build/dex" "${programs[@]}"
}

pack() { # adds code and native libraries, uncompressed; aligns and signs
  echo "Packing and signing"
  local abi
  for abi in "${abis[@]}"; do
    mkdir -p "$build/dex/lib/$abi"
    cp "$lite/jni/$abi"/*.so "$build/dex/lib/$abi"
  done
  (
    cd "$build/dex"
    jar --update --no-manifest --no-compress --file ../unaligned.apk ./*.dex lib/*/*.so
  )
  zipalign -f -p 4 "$build/unaligned.apk" "$build/aligned.apk"
  keytool -genkeypair -keystore "$build/key.p12" -storetype PKCS12 -storepass android \
    -alias throwaway -dname CN=throwaway -keyalg RSA -keysize 2048 -validity 30 2> /dev/null
  apksigner sign --ks "$build/key.p12" --ks-pass pass:android --min-sdk-version "$min" \
    --v4-signing-enabled false --out "$build/app.apk" "$build/aligned.apk"
}

mkdir -p build
exec 8> build/apk.lock
flock 8
rm -rf "$build"
gather_models
PYTHON=$python ci/compile_app.sh
exec 9> "$app/lock" # so that it does not compile while this reads what it made
flock 9
install_signing_tools
compiler=$(fetch kotlin-compiler)/package/lib
android=$(fetch android-all)
aapt2=$(fetch aapt2)
lite=$(fetch tensorflow-lite)
lite_api=$(fetch tensorflow-lite-api)
java_home=$(java -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java.home = //p')
min=$(version min)
target=$(version target)
check_new_api
link
dex
pack
with_androguard=$(androguard)
"$with_androguard" ci/check_apk.py "$build/app.apk" --framework "$android" \
  --package "$(setting applicationId)" --min-sdk "$min" --target-sdk "$target" \
  --permission android.permission.CAMERA \
  --permission android.permission.WRITE_EXTERNAL_STORAGE@28 \
  --abi "${abis[0]}" --abi "${abis[1]}" --absent com.google.ai.edge.litert
