import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Semaphore;
import org.keycloak.common.crypto.CryptoIntegration;
import org.keycloak.credential.hash.PasswordHashProvider;
import org.keycloak.credential.hash.Pbkdf2PasswordHashProvider;
import org.keycloak.crypto.hash.Argon2PasswordHashProvider;

/**
 * Prints Keycloak's credentials for the passwords of standard input, a JSON list: an object a
 * line with the version that made such ones by default, or could, and the two texts of an export.
 */
class Keycloak {
    public static void main(String[] args) throws Exception {
        CryptoIntegration.init(Keycloak.class.getClassLoader());
        Map<String, PasswordHashProvider> versions = new LinkedHashMap<>();
        versions.put("since 25", new Argon2PasswordHashProvider("1.3", "id", 32, 7168, 5, 1, new Semaphore(1)));
        versions.put("24", pbkdf2("pbkdf2-sha512", "SHA512", 210_000, 512));
        versions.put("24 with SHA-256", pbkdf2("pbkdf2-sha256", "SHA256", 600_000, 256));
        versions.put("before 24", pbkdf2("pbkdf2-sha256", "SHA256", 27_500, 512));
        versions.put("before 24 with SHA-1", pbkdf2("pbkdf2", "SHA1", 20_000, 512));

        var json = new ObjectMapper();
        for (String password : json.readValue(System.in, String[].class)) {
            for (var version : versions.entrySet()) {
                var made = version.getValue().encodedCredential(password, -1);
                System.out.write(json.writeValueAsBytes(Map.of("version", version.getKey(),
                        "secretData", made.getSecretData(), "credentialData", made.getCredentialData())));
                System.out.println();
            }
        }
    }

    static PasswordHashProvider pbkdf2(String id, String function, int rounds, int bits) {
        return new Pbkdf2PasswordHashProvider(id, "PBKDF2WithHmac" + function, rounds, 0, bits);
    }
}
