// https://docs.spring.io/spring-security/reference/servlet/oauth2/resource-server/jwt.html as a resource server uses it.
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.JSONObjectUtils;
import java.io.FileInputStream;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtException;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;

public class SpringSecurity {
  /** A text in the reason for which the library rejects each token. */
  static final Map<String, String> REASONS = new LinkedHashMap<>();

  static {
    REASONS.put("expired", "Jwt expired at");
    REASONS.put("another_audience", "The aud claim is not valid");
    REASONS.put("another_issuer", "The iss claim is not valid");
    REASONS.put("another_type", "JOSE header typ (type) JWT not allowed");
    REASONS.put("changed_claims", "Invalid signature");
    REASONS.put("changed_signature", "Invalid signature");
    REASONS.put("another_key", "Invalid signature");
    REASONS.put("unsigned", "Unsupported algorithm of none");
    REASONS.put("unsigned_with_a_signature", "Malformed token");
    REASONS.put("hmac_with_the_public_key", "Another algorithm expected");
    REASONS.put("unknown_kid", "no matching key(s) found");
  }

  public static void main(String[] arguments) throws Exception {
    trust(System.getenv("SSL_CERT_FILE"));
    var input = JSONObjectUtils.parse(new String(System.in.readAllBytes(), StandardCharsets.UTF_8));
    String issuer = (String) input.get("issuer");
    String audience = (String) input.get("audience");
    SignatureAlgorithm algorithm = SignatureAlgorithm.from((String) input.get("algorithm"));

    var types = new DefaultJOSEObjectTypeVerifier<SecurityContext>(new JOSEObjectType("at+jwt"));
    NimbusJwtDecoder decoder = NimbusJwtDecoder.withIssuerLocation(issuer)
        .jwsAlgorithm(algorithm)
        .jwtProcessorCustomizer(processor -> processor.setJWSTypeVerifier(types))
        .build();
    var audiences = new JwtClaimValidator<List<String>>("aud", found -> found != null && found.contains(audience));
    decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(JwtValidators.createDefaultWithIssuer(issuer), audiences));

    Jwt good = decoder.decode((String) input.get("good"));
    check(good.getSubject().equals(input.get("subject")), "the subject is " + good.getSubject());
    check(good.getClaimAsString("scope").equals(input.get("scope")), "the scope is " + good.getClaims());
    List<Object> cases = new ArrayList<>(List.of("good"));
    var refused = (Map<?, ?>) input.get("refused");
    for (var entry : REASONS.entrySet()) {
      rejects(decoder, entry.getKey(), (String) refused.get(entry.getKey()), entry.getValue());
      cases.add(entry.getKey());
    }
    String version = NimbusJwtDecoder.class.getProtectionDomain().getCodeSource().getLocation().getPath()
        .replaceAll(".*-([0-9.]+)\\.jar$", "$1");
    System.out.println(JSONObjectUtils.toJSONString(
        Map.of("library", "spring-security-oauth2-jose", "version", version, "cases", cases)));
  }

  static void rejects(NimbusJwtDecoder decoder, String name, String token, String reason) {
    try {
      decoder.decode(token);
    } catch (JwtException error) {
      check(error.getMessage().contains(reason), name + " is rejected for " + error.getMessage());
      return;
    }
    check(false, name + " is accepted");
  }

  static void check(boolean holds, String problem) {
    if (!holds) throw new AssertionError(problem);
  }

  /** Trusts the certificate of the test alone. */
  static void trust(String file) throws Exception {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    try (var certificate = new FileInputStream(file)) {
      store.setCertificateEntry("test", CertificateFactory.getInstance("X.509").generateCertificate(certificate));
    }
    TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    factory.init(store);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, factory.getTrustManagers(), null);
    HttpsURLConnection.setDefaultSSLSocketFactory(context.getSocketFactory());
  }
}
