#!/usr/bin/env bash
# What docs/plugins.md promises an author, from an empty folder and with no other step: in each language a new project is built,
# tested, run and measured, and its plug-in indexes a sample; then the examples are built and tested, and components whose
# toolchains import WASI unasked, under the inert one.
# Languages to try are arguments (default: rust javascript python). HOST_SKIP_TOOLCHAINS=1 leaves out all but Rust, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
host=${HOST_BIN:-$root/target/release/host}
[[ -x $host ]] || { echo "error: $host is missing: cargo build --release -p host" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME="$work/cache"

# Whether a language is to be tried; why not, if not.
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

# What the README of a project says is to be installed; once a language, and shared, because it is large.
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

try() {
  local language=$1 project=$work/$1-shop
  echo "== $language: a new project"
  (cd "$work" && "$host" plugin new "$language-shop" --lang "$language" --role transform --role validate --role version)
  install_tools "$language" "$project"
  cd "$project"
  "$host" plugin build
  "$host" plugin verify .
  "$host" plugin test
  # The sample has a product without a price: exit code 4 says that one was refused.
  "$host" plugin run . fixtures/transform/sample.jsonl || [[ $? == 4 ]]
  "$host" plugin bench . fixtures/transform/sample.jsonl --seconds 1
  "$host" run --quiet --plugin "$language-shop.wasm" fixtures/transform/sample.jsonl --shop my-shop || [[ $? == 4 ]]
  "$host" documents get mug-1 --shop my-shop | grep -q Mug
  mistake "$language"
  cd "$root"
}

# What an author's mistake says, in languages whose traps have no words.
mistake() {
  case $1 in
    javascript) sed -i 's/^  const fields = /  if (id === "mistake") product.nothing.at(0);\n&/' src/plugin.js ;;
    python) sed -i 's/^    fields = {/    if source["id"] == "mistake": source["nothing"]\n&/' src/plugin.py ;;
    *) return ;;
  esac
  echo "== $1: a mistake in the sources"
  "$host" plugin build
  echo '{"id":"mistake","title":"x","price":"1","updated_at":"2026-01-01T00:00:00Z"}' >"$work/mistake.jsonl"
  "$host" plugin run . "$work/mistake.jsonl" 2>/dev/null >"$work/said" || [[ $? == 4 ]]
  grep -E "log (Type|Key)Error: .*nothing|log TypeError: .*'at'" "$work/said"
}

example() {
  local language=$1 name=$2 project=$work/examples/plugins/$2
  echo "== $language: examples/plugins/$name"
  # A copy, in which links to the contract lead to where they should.
  mkdir -p "$work/examples/plugins" "$work/crates/plugin-dev/src"
  ln -sfn "$root/wit" "$work/wit"
  ln -sfn "$root/crates/plugin-dev/src/templates" "$work/crates/plugin-dev/src/templates"
  cp -r "examples/plugins/$name" "$project"
  rm -rf "$project/node_modules" "$project/.venv" "$project/target"
  install_tools "$language" "$project"
  "$host" plugin build "$project"
  "$host" plugin test "$project"
}

# A component that imports WASI: tests/guests/probe, built as its toolchain likes it. Golden files say that clocks are stopped and
# that files, sockets and requests fail inside the guest.
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
  # Exit code 2, and why.
  "$host" plugin run --wasi none "$project" "$project/fixtures/transform/$name.jsonl" 2>"$work/said" || [[ $? == 2 ]]
  grep "which --wasi none refuses" "$work/said"
}

# A violation by a probe ends with the right code, and the host reports it. Instructions are few, so that a loop ends soon.
violation() {
  local project=$work/$1 id=$2 code=$3
  echo "== $1: $id"
  echo "{\"id\":\"$id\"}" | HOST_PLUGIN__LIMITS__FUEL=5000000000 HOST_PLUGIN__LIMITS__MEMORY_BYTES=67108864 \
    "$host" plugin run "$project" - 2>/dev/null | tee "$work/said" || [[ $? == 4 ]]
  grep -q "refused $code:" "$work/said"
}

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
