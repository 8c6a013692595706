// Credentials of one-time codes by Keycloak, with the base32 that it shows to an app, and codes that it accepts.
//
//     java -cp CLASSPATH MakeOtp.java > keycloak.json
//
// CLASSPATH has keycloak-server-spi, keycloak-server-spi-private and keycloak-core 26.4.0 with their dependencies.

import java.util.ArrayList;
import java.util.Calendar;
import java.util.GregorianCalendar;
import java.util.List;
import java.util.TimeZone;
import org.keycloak.models.credential.OTPCredentialModel;
import org.keycloak.models.utils.Base32;
import org.keycloak.models.utils.HmacOTP;
import org.keycloak.models.utils.TimeBasedOTP;

class MakeOtp {
    static final long[] TIMES = {1_800_000_000L, 1_800_000_029L, 1_800_000_030L, 1_900_000_000L};
    static final List<String> MADE = new ArrayList<>();

    static String json(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    static void make(String secret, int digits, int period, String algorithm, String encoding) {
        OTPCredentialModel model = OTPCredentialModel.createTOTP(secret, digits, period, algorithm, encoding);
        byte[] key = model.getDecodedSecret();
        List<String> codes = new ArrayList<>();
        for (long time : TIMES) {
            Calendar calendar = new GregorianCalendar(TimeZone.getTimeZone("UTC"));
            calendar.setTimeInMillis(time * 1000);
            TimeBasedOTP totp = new TimeBasedOTP(algorithm, digits, period, 1);
            totp.setCalendar(calendar);
            codes.add("[" + time + ", " + json(totp.generateTOTP(key)) + "]");
        }
        MADE.add("    { \"credential\": { \"type\": " + json(model.getType())
            + ", \"secretData\": " + json(model.getSecretData())
            + ", \"credentialData\": " + json(model.getCredentialData())
            + " }, \"shown\": " + json(Base32.encode(key))
            + ", \"codes\": [" + String.join(", ", codes) + "] }");
    }

    public static void main(String[] arguments) {
        for (String algorithm : List.of("HmacSHA1", "HmacSHA256", "HmacSHA512")) {
            for (int digits : new int[] {6, 8}) {
                for (int period : new int[] {30, 60}) {
                    make(HmacOTP.generateSecret(20), digits, period, algorithm, null);
                }
            }
        }
        // A secret of another system, which an administrator has imported into Keycloak.
        make("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", 6, 30, "HmacSHA1", "BASE32");
        make("jbswy3dpehpk3pxp====", 6, 30, "HmacSHA1", "BASE32");
        make("a sëcret of ours", 6, 30, "HmacSHA1", null);
        System.out.println("{\n  \"library\": \"Keycloak, keycloak-server-spi\",\n  \"version\": \"26.4.0\",\n  \"credentials\": [\n"
            + String.join(",\n", MADE) + "\n  ]\n}");
    }
}
