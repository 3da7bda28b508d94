java -jar "$TOOLS"/java/openapi-generator-cli-*.jar generate -i "$SPEC" -g java -o api >generate.log
find api/src/main/java -name '*.java' >sources
javac -nowarn -proc:none -cp "$TOOLS/java/openapi-generator/*" -d classes Main.java @sources
java -cp "classes:$TOOLS/java/openapi-generator/*" Main
