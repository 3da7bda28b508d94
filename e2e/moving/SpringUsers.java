import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.springframework.security.crypto.argon2.Argon2PasswordEncoder;
import org.springframework.security.crypto.factory.PasswordEncoderFactories;

/**
 * The table of Spring Security's JdbcUserDetailsManager in old.sql, with the hashes of its
 * encoders, which write their name before them.
 */
class SpringUsers {
    public static void main(String[] args) throws Exception {
        var bcrypt = PasswordEncoderFactories.createDelegatingPasswordEncoder();
        var argon2 = Argon2PasswordEncoder.defaultsForSpringSecurity_v5_8();
        var json = new ObjectMapper();
        List<String> statements = new ArrayList<>();
        statements.add("CREATE TABLE users (username varchar(50) NOT NULL PRIMARY KEY,"
                + " password varchar(500) NOT NULL, enabled boolean NOT NULL);");
        for (JsonNode person : json.readTree(System.in)) {
            if (person.get("password").isNull()) {
                continue;
            }
            String name = person.get("name").asText(), password = person.get("password").asText();
            boolean disabled = person.get("disabled").asBoolean();
            String hash = name.equals("bob")
                    ? "{argon2@SpringSecurity_v5_8}" + argon2.encode(password) : bcrypt.encode(password);
            statements.add("INSERT INTO users VALUES ('%s', '%s', %s);".formatted(name, hash, !disabled));
            var expected = json.createObjectNode();
            expected.put("username", name).put("password", password).put("disabled", disabled);
            System.out.write(json.writeValueAsBytes(expected));
            System.out.println();
        }
        Files.write(Path.of("old.sql"), statements);
    }
}
