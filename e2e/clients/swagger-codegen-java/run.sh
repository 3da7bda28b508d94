# Swagger Codegen takes a document of OpenAPI 3.1, but knows no types in it: all that
# it writes is an Object.
java -jar "$TOOLS"/java/swagger-codegen-cli-*.jar generate -i "$SPEC" -l java -o api >generate.log
find api/src/main/java -name '*.java' >sources
javac -nowarn -proc:none -cp "$TOOLS/java/swagger-codegen/*" -d classes Main.java @sources
java -cp "classes:$TOOLS/java/swagger-codegen/*" Main
