#!/usr/bin/env bash
# Tests what docs/plugins.md promises to a plug-in author, who begins with an empty folder. In each language it creates a project,
# builds, tests, runs and measures it, and has its plug-in index a sample. Then it builds and tests the plug-ins in examples/, and
# plug-ins whose toolchains have them import WASI (the standard system interfaces of WebAssembly), which host lets do nothing.
# Arguments are the languages to try (default: rust javascript python). HOST_SKIP_TOOLCHAINS=1 skips all but Rust, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
host=${HOST_BIN:-$root/target/release/host}
[[ -x $host ]] || { echo "error: $host is missing: cargo build --release -p host" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME="$work/cache"

# Succeeds if a language is to be tried; otherwise says why it is skipped.
wanted() {
  case $1 in
    rust) return 0 ;;
    javascript) tool=npm ;;
    python) tool=python3 ;;
    *) echo "error: $1 is none of rust, javascript, python" >&2; exit 2 ;;
  esac
  [[ -z ${HOST_SKIP_TOOLCHAINS:-} ]] || { echo "skipped: $1, because HOST_SKIP_TOOLCHAINS is set"; return 1; }
  command -v "$tool" >/dev/null || { echo "skipped: $1, because $tool is not installed"; return 1; }
}

# Installs the tools that the README of a project names: once a language and shared by its projects, because they are large.
install_tools() {
  local language=$1 project=$2
  case $language in
    javascript)
      [[ -d $work/node_modules ]] || { (cd "$project" && npm install --silent --no-fund --no-audit); mv "$project/node_modules" "$work/"; }
      ln -sfn "$work/node_modules" "$project/node_modules" ;;
    python)
      [[ -d $work/venv ]] || { python3 -m venv "$work/venv" && "$work/venv/bin/pip" install --quiet -r "$project/requirements.txt"; }
      ln -sfn "$work/venv" "$project/.venv" ;;
  esac
}

# Does all that an author does with a new project.
try() {
  local language=$1 project=$work/$1-shop
  echo "== $language: a new project"
  (cd "$work" && "$host" plugin new "$language-shop" --lang "$language" --role transform --role validate --role version)
  install_tools "$language" "$project"
  cd "$project"
  "$host" plugin build
  "$host" plugin verify .
  "$host" plugin test
  # The sample has a product without a price: exit code 4 says that a product was refused.
  "$host" plugin run . fixtures/transform/sample.jsonl || [[ $? == 4 ]]
  "$host" plugin bench . fixtures/transform/sample.jsonl --seconds 1
  "$host" run --quiet --plugin "$language-shop.wasm" fixtures/transform/sample.jsonl --shop my-shop || [[ $? == 4 ]]
  "$host" documents get mug-1 --shop my-shop | grep -q Mug
  mistake "$language"
  cd "$root"
}

# An author's mistake must be named in the log, in the languages whose traps (aborts of the plug-in) carry no message.
mistake() {
  case $1 in
    javascript) sed -i 's/^  const fields = /  if (id === "mistake") product.nothing.at(0);\n&/' src/plugin.js ;;
    python) sed -i 's/^    fields = {/    if source["id"] == "mistake": source["nothing"]\n&/' src/plugin.py ;;
    *) return ;;
  esac
  echo "== $1: a mistake in the sources"
  "$host" plugin build
  echo '{"id":"mistake","title":"x","price":"1","updated_at":"2026-01-01T00:00:00Z"}' >"$work/mistake.jsonl"
  "$host" plugin run . "$work/mistake.jsonl" 2>/dev/null >"$work/output" || [[ $? == 4 ]]
  grep -E "log (Type|Key)Error: .*nothing|log TypeError: .*'at'" "$work/output"
}

# Builds and tests a plug-in of examples/.
example() {
  local language=$1 name=$2 project=$work/examples/plugins/$2
  echo "== $language: examples/plugins/$name"
  # A copy beside links to wit/ and the templates, because links in the example lead there by relative paths.
  mkdir -p "$work/examples/plugins" "$work/crates/plugin-dev/src"
  ln -sfn "$root/wit" "$work/wit"
  ln -sfn "$root/crates/plugin-dev/src/templates" "$work/crates/plugin-dev/src/templates"
  cp -r "examples/plugins/$name" "$project"
  rm -rf "$project/node_modules" "$project/.venv" "$project/target"
  install_tools "$language" "$project"
  "$host" plugin build "$project"
  "$host" plugin test "$project"
}

# Builds tests/guests/probe with a given command, so that it imports WASI, and tests it. Its golden files (expected answers) say
# that clocks are stopped and that files, sockets and requests fail inside the plug-in.
probe() {
  local language=$1 name=$2 project=$work/$2
  shift 2
  echo "== $language: $name with the inert WASI"
  (cd "$work" && "$host" plugin new "$name" --lang "$language" --role transform >/dev/null)
  rm -r "$project"/fixtures/transform/*
  cp "tests/guests/probe/fixtures/$name".* "$project/fixtures/transform/"
  printf 'name = "%s"\nlang = "%s"\n' "$name" "$language" >"$project/plugin.toml"
  cp tests/guests/probe/probe.* "$project/"
  (cd "$project" && "$@")
  "$host" plugin test "$project"
  # Without WASI it is refused with exit code 2, and the reason is named.
  "$host" plugin run --wasi none "$project" "$project/fixtures/transform/$name.jsonl" 2>"$work/output" || [[ $? == 2 ]]
  grep "which --wasi none refuses" "$work/output"
}

# The probe violates a rule, and the host must refuse the product with the right code. Few instructions (the limit `fuel`) are
# allowed, so that an endless loop ends soon.
violation() {
  local project=$work/$1 id=$2 code=$3
  echo "== $1: $id"
  echo "{\"id\":\"$id\"}" | HOST_PLUGIN__LIMITS__FUEL=5000000000 HOST_PLUGIN__LIMITS__MEMORY_BYTES=67108864 \
    "$host" plugin run "$project" - 2>/dev/null | tee "$work/output" || [[ $? == 4 ]]
  grep -q "refused $code:" "$work/output"
}

# Builds the probe with each other toolchain of a language.
probes() {
  case $1 in
    javascript)
      mkdir -p "$work/jco"
      cp tests/guests/probe/package.json "$work/jco/"
      (cd "$work/jco" && npm install --silent --no-fund --no-audit)
      local tools=$work/jco/node_modules/.bin
      probe javascript starlingmonkey \
        "$tools/componentize-js" probe.js --wit wit --world-name project --disable http fetch-event --out starlingmonkey.wasm
      # A build without HTTP has no request to make.
      violation starlingmonkey request plugin-trap
      probe javascript quickjs "$tools/jco" componentize probe.js --wit wit --world-name project \
        --backend quickjs --backend-qjs-disable-async --out quickjs.wasm ;;
    python)
      probe python python "$work/venv/bin/componentize-py" --quiet --wit-path wit --world project \
        componentize --output python.wasm probe
      violation python loop plugin-timeout
      violation python memory plugin-memory
      violation python recursion plugin-trap
      violation python exit plugin-trap ;;
  esac
}

tried=0 skipped=0
for language in "${@:-rust javascript python}"; do
  for language in $language; do
    if ! wanted "$language"; then
      skipped=$((skipped + 1))
      continue
    fi
    try "$language"
    case $language in
      rust) example rust house-rules ;;
      javascript) example javascript woocommerce ;;
      python) example python google-feed ;;
    esac
    probes "$language"
    tried=$((tried + 1))
  done
done
echo "$tried languages tried, $skipped skipped"
