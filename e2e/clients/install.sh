#!/usr/bin/env bash
# install.sh FOLDER installs what TestClients needs, besides Go, at the versions that the
# files here pin: from npm, PyPI and Maven's central repository. If it is all there, nothing
# happens.
set -euo pipefail
mkdir -p "$1"
tools=$(cd "$1" && pwd)
cd "$(dirname "$0")"
pins=$(cat install.sh package-lock.json tsconfig.json requirements.txt pom.xml */pom.xml | sha256sum)
if [ "$(cat "$tools/installed" 2>/dev/null)" = "$pins" ]; then
	exit
fi
rm -rf "$tools"/{installed,node_modules,python,java}

cp package.json package-lock.json tsconfig.json "$tools"
npm ci --prefix "$tools" --ignore-scripts --no-audit --no-fund --loglevel=error

python3 -m venv "$tools/python"
"$tools/python/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt

jars() {
	mvn --quiet --batch-mode -f "$1" -DoutputDirectory="$2" \
		org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies
}
jars pom.xml "$tools/java"
jars openapi-generator-java/pom.xml "$tools/java/openapi-generator"
jars swagger-codegen-java/pom.xml "$tools/java/swagger-codegen"
echo "$pins" >"$tools/installed"
