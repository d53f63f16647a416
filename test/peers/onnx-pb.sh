#!/bin/sh
# Makes src/runtime/ort/onnx-pb.ts from onnx.proto with the generator of the pinned @bufbuild/protobuf.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cp "$root/src/runtime/ort/onnx.proto" "$place"
cd "$place"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @bufbuild/buf@1.75.0 @bufbuild/protoc-gen-es@2.17.0
cat >buf.gen.yaml <<YAML
version: v2
plugins:
  - local: node_modules/.bin/protoc-gen-es
    out: .
    opt: [target=ts]
YAML
node_modules/.bin/buf generate --path onnx.proto
# The descriptor is one long string: folded, so that the page holds it.
node -e '
  const text = require("fs").readFileSync("onnx_pb.ts", "utf8");
  const fold = (_, head, body) => head + body.match(/.{1,90}/g).map((part) => `"${part}"`).join(" +\n  ");
  require("fs").writeFileSync(process.argv[1], text.replace(/(fileDesc\()"([^"]+)"/, fold));
' "$root/src/runtime/ort/onnx-pb.ts"
