import java.util.List;
import org.springframework.security.oauth2.server.resource.introspection.BadOpaqueTokenException;
import org.springframework.security.oauth2.server.resource.introspection.OAuth2IntrospectionException;
import org.springframework.security.oauth2.server.resource.introspection.OpaqueTokenIntrospector;
import org.springframework.security.oauth2.server.resource.introspection.SpringOpaqueTokenIntrospector;

/** Spring Security asks about tokens, as Boot lets it with opaquetoken settings. */
class Main {
  public static void main(String[] args) {
    var introspector = asking(System.getenv("INTROSPECTOR_ID"), System.getenv("INTROSPECTOR_KEY"));
    for (String good : List.of(System.getenv("TOKEN"), System.getenv("KEY"))) {
      var owner = introspector.introspect(good);
      check(owner.getName().equals("alice"), "the owner is " + owner.getName());
      check(owner.getAuthorities().stream().anyMatch(a -> a.getAuthority().equals("SCOPE_read")), "may " + owner.getAuthorities());
      check(owner.getAttribute("uid").toString().length() == 32, "uid " + owner.getAttribute("uid"));
    }
    try {
      introspector.introspect("garbage");
      check(false, "garbage is accepted");
    } catch (BadOpaqueTokenException expected) {
      // it says that the token is not active
    }
    try {
      asking(System.getenv("KEY_ID"), System.getenv("KEY")).introspect(System.getenv("TOKEN"));
      check(false, "any key may ask");
    } catch (BadOpaqueTokenException wrong) {
      check(false, "a key that may not ask makes the token look bad");
    } catch (OAuth2IntrospectionException expected) {
      // 403
    }
  }

  static OpaqueTokenIntrospector asking(String id, String key) {
    return SpringOpaqueTokenIntrospector.withIntrospectionUri(System.getenv("ISSUER") + "/introspect")
        .clientId(id).clientSecret(key).build();
  }

  static void check(boolean ok, String problem) {
    if (!ok) {
      throw new AssertionError(problem);
    }
  }
}
