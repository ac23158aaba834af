#!/usr/bin/env bash
# Builds the browser page with exported models and tests it in headless Chromium.
# Takes TFI2I_ANDROID_MODELS, a folder that tests/export/android_models.py filled (else it fills
# android_demo/build/models, once), and PYTHON (the project's).
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
python=${PYTHON:-$root/.venv/bin/python}
models=${TFI2I_ANDROID_MODELS:-$root/android_demo/build/models}

if [ ! -f "$models/manifest.json" ]; then
  echo "Exporting models into $models"
  PYTHONPATH=export timeout 900 "$python" tests/export/android_models.py "$models"
fi

cd android_demo/web
# npm writes the second file last; it is older than a lock file that has changed since.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  echo "Installing the page's packages"
  timeout 300 npm ci --ignore-scripts --no-audit --no-fund --silent
fi
echo "Checking types"
timeout 120 npm run --silent check
echo "Building the page"
timeout 60 npm run --silent build -- --models "$models"

cd "$root"
echo "Testing the page"
TFI2I_ANDROID_MODELS=$models timeout 900 "$python" -m pytest -q tests/android_demo/test_web_*.py
