import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.springframework.security.crypto.argon2.Argon2PasswordEncoder;
import org.springframework.security.crypto.bcrypt.BCryptPasswordEncoder;
import org.springframework.security.crypto.bcrypt.BCryptPasswordEncoder.BCryptVersion;

/**
 * Hashes the passwords of standard input, a JSON list, with Spring Security. Standard output has
 * a JSON object a line. With the defaults, which are dear, only the first password is hashed.
 */
class Hashes {
    static final ObjectMapper json = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        List<String> passwords = List.of(json.readValue(System.in, String[].class));
        var dear = passwords.subList(0, 1);
        print("bcrypt", dear, new BCryptPasswordEncoder()::encode);
        print("argon2", dear, Argon2PasswordEncoder.defaultsForSpringSecurity_v5_8()::encode);
        print("argon2 of 5.2", dear, Argon2PasswordEncoder.defaultsForSpringSecurity_v5_2()::encode);
        print("argon2, quick", passwords, new Argon2PasswordEncoder(24, 48, 2, 64, 1)::encode);
        for (var version : BCryptVersion.values()) {
            // Spring refuses what bcrypt would cut.
            var fit = passwords.stream().filter(p -> p.getBytes(StandardCharsets.UTF_8).length <= 72).toList();
            print("bcrypt 4 " + version.getVersion(), fit, new BCryptPasswordEncoder(version, 4)::encode);
        }
    }

    static void print(String scheme, List<String> passwords, UnaryOperator<String> hash) throws Exception {
        for (String password : passwords) {
            Map<String, String> line = new LinkedHashMap<>();
            line.put("scheme", "spring " + scheme);
            line.put("producer", "spring-security-crypto");
            line.put("version", String.valueOf(BCryptPasswordEncoder.class.getPackage().getImplementationVersion()));
            line.put("hash", hash.apply(password));
            line.put("password", password);
            System.out.write(json.writeValueAsBytes(line));
            System.out.println();
        }
    }
}
