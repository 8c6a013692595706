#!/bin/sh
# Stands in for cargo-lambda while `cargo verify` records `sam build`: writes down the folder and the arguments, and
# leaves an empty binary for sam to copy.
line=$PWD
for word; do line="$line	$word"; binary=$word; done
printf '%s\n' "$line" >> "$DAYPASS_RECORD"
mkdir -p "$CARGO_TARGET_DIR/lambda/$binary"
: > "$CARGO_TARGET_DIR/lambda/$binary/bootstrap"
