for version in 3.5 4; do
	libraries="$TOOLS/java/spring-boot-$version/*"
	javac -cp "$libraries" -d "out-$version" Main.java
	java -XX:TieredStopAtLevel=1 -cp "out-$version:$libraries" Main
done
