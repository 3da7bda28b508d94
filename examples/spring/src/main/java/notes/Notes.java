package notes;

import java.util.List;
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@SpringBootApplication
@RestController
class Notes {

  public static void main(String[] args) {
    SpringApplication.run(Notes.class, args);
  }

  @GetMapping("/notes/")
  Map<String, Object> readNotes(@AuthenticationPrincipal Jwt token) {
    // Keep data by uid: names are reused.
    return Map.of("owner", token.getClaimAsString("uid"), "name", token.getSubject(), "notes", List.of());
  }
}
