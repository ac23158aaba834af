#!/bin/bash
# Compiles core and inference, and runs their JUnit tests on this machine: without Gradle, Android's
# SDK or a phone.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
build=$PWD/build/jvm
mkdir -p "$build"
exec 9> "$build/lock"
flock 9

compiler=$("$python" ci/fetch.py kotlin-compiler)/package/lib
jars=$("$python" ci/fetch.py --use jvm | paste -sd:)
jars=$jars:$compiler/kotlin-test.jar:$compiler/kotlin-test-junit.jar

compile() { # name, class path, sources...: into build/name, unless it is from just these
  local name=$1 path=$2
  shift 2
  local digest
  digest=$({
    echo "$path"
    if [ "$name" != core ]; then cat "$build/core.digest"; fi
    find "$@" -name '*.kt' -print0 | sort -z | xargs -0 sha256sum
  } | sha256sum)
  if [ "$(cat "$build/$name.digest" 2> /dev/null)" = "$digest" ]; then return; fi
  echo "Compiling $name"
  rm -rf "${build:?}/$name" "$build/$name.digest"
  java -Xmx1g -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$compiler/kotlin-preloader.jar" \
    org.jetbrains.kotlin.preloading.Preloader -cp "$compiler/kotlin-compiler.jar" \
    org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -kotlin-home "${compiler%/lib}" \
    -jvm-target 17 -Werror -module-name "$name" ${friend:+-Xfriend-paths="$friend"} \
    -cp "$path" -d "$build/$name" "$@"
  echo "$digest" > "$build/$name.digest"
}

check() { # module, heap, class path: runs the classes of its files *Test.kt
  local tests=$1/src/test
  local classes
  mapfile -t classes < <(
    cd "$tests/kotlin" && find . -name '*Test.kt' | sed 's|^\./||; s|\.kt$||; s|/|.|g' | sort
  )
  echo "Testing $1"
  java -ea -Xmx"$2" -cp "$3:$tests/resources" org.junit.runner.JUnitCore "${classes[@]}" \
    | tee "$build/$1.txt"
  summary+="$1: $(grep '^OK (' "$build/$1.txt")"$'\n'
}

summary=""
compile core "$jars" core/src/main/kotlin
friend=$build/core compile core-test "$build/core:$jars" core/src/test/kotlin
# No more than a phone gives an app, as large photos have to fit.
check core 256m "$build/core-test:$build/core:$jars:$compiler/kotlin-stdlib.jar"
if [ -d inference/src/test ]; then
  # With its tests, which bring what stands in for LiteRT's classes here.
  compile inference "$build/core:$jars" inference/src/main/kotlin inference/src/test/kotlin
  check inference 1g "$build/inference:$build/core:$jars:$compiler/kotlin-stdlib.jar"
fi
echo -n "$summary"
