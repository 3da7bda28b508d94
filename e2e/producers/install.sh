#!/usr/bin/env bash
# install.sh FOLDER installs what TestHashesOfProducers and TestMovingIn need from PyPI, npm and
# Maven's central repository, at the versions that the files here pin. If it is all there,
# nothing happens.
set -euo pipefail
mkdir -p "$1"
tools=$(cd "$1" && pwd)
cd "$(dirname "$0")"
pins=$(cat install.sh package-lock.json requirements.txt pom.xml | sha256sum)
if [ "$(cat "$tools/installed" 2>/dev/null)" = "$pins" ]; then
	exit
fi
rm -rf "$tools"/{installed,node_modules,python,java}

cp package.json package-lock.json "$tools"
npm ci --prefix "$tools" --ignore-scripts --no-audit --no-fund --loglevel=error

python3 -m venv "$tools/python"
"$tools/python/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt

mvn --quiet --batch-mode -f pom.xml -DoutputDirectory="$tools/java" \
	org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies
echo "$pins" >"$tools/installed"
