import com.eatthepath.pushy.apns.auth.ApnsVerificationKey;
import com.eatthepath.pushy.apns.server.MockApnsServer;
import com.eatthepath.pushy.apns.server.MockApnsServerBuilder;
import com.eatthepath.pushy.apns.server.MockApnsServerListener;
import com.eatthepath.pushy.apns.server.PushNotificationHandler;
import com.eatthepath.pushy.apns.server.RejectedNotificationException;
import com.eatthepath.pushy.apns.server.RejectionReason;
import com.eatthepath.pushy.apns.server.ValidatingPushNotificationHandlerFactory;
import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.http2.DefaultHttp2Headers;
import io.netty.handler.codec.http2.Http2Headers;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Pushy's mock APNs server with its own validation of requests and provider
 * tokens, on its own TLS.
 *
 * Arguments: port, certificate chain (PEM), its key (PKCS #8), public key of the
 * provider tokens (PEM), key id, team id, script. The script's lines: "topic
 * TOPIC TOKEN" (the device token belongs to the topic), "key TOPIC" (the key may
 * send to it), "gone TOKEN MILLISECONDS" (unregistered since), "reject TOKEN
 * REASON" (what is valid is refused all the same). Prints {"port":N} when it
 * listens, and a line on standard error for each push.
 */
public final class MockApns {
    public static void main(final String[] args) throws Exception {
        final int port = Integer.parseInt(args[0]);
        final ApnsVerificationKey key = ApnsVerificationKey.loadFromPkcs8File(new File(args[3]), args[5], args[4]);
        final Map<String, Set<String>> tokens = new HashMap<>();
        final Set<String> topics = new HashSet<>();
        final Map<String, Instant> gone = new HashMap<>();
        final Map<String, RejectionReason> rejected = new HashMap<>();
        final List<String> lines = Files.readAllLines(Path.of(args[6]), StandardCharsets.UTF_8);
        for (final String line : lines) {
            final String[] words = line.split(" ");
            switch (words[0]) {
                case "topic": tokens.computeIfAbsent(words[1], t -> new HashSet<>()).add(words[2]); break;
                case "key": topics.add(words[1]); break;
                case "gone": gone.put(words[1], Instant.ofEpochMilli(Long.parseLong(words[2]))); break;
                case "reject": rejected.put(words[1], RejectionReason.valueOf(words[2])); break;
                default: throw new IllegalArgumentException(line);
            }
        }
        final ValidatingPushNotificationHandlerFactory validating =
            new ValidatingPushNotificationHandlerFactory(tokens, gone, Map.of(args[4], key), Map.of(key, topics));
        final MockApnsServer server = new MockApnsServerBuilder()
            .setServerCredentials(new File(args[1]), new File(args[2]), null)
            .setUseAlpn(true)
            .setMaxConcurrentStreams(100)
            .setListener(new Printer())
            .setHandlerFactory(session -> {
                final PushNotificationHandler handler = validating.buildHandler(session);
                return (headers, payload) -> {
                    try {
                        handler.handlePushNotification(transcoded(headers), payload);
                    } catch (final RuntimeException e) {
                        e.printStackTrace(); // Pushy answers 500 and says nothing
                        throw e;
                    }
                    final RejectionReason reason = rejected.get(token(headers));
                    if (reason != null) {
                        throw new RejectedNotificationException(reason);
                    }
                };
            })
            .build();
        server.start(port).get();
        System.out.println("{\"port\":" + port + "}");
        System.out.flush();
        Thread.currentThread().join();
    }

    /**
     * The headers with the provider token's signature in ASN.1. Pushy signs and
     * verifies in that form, which Apple takes as well; the one that JSON Web
     * Signature prescribes is r and s, 32 bytes each (RFC 7518 section 3.4). What is
     * signed, and Pushy's check of it, stay as they are.
     */
    static Http2Headers transcoded(final Http2Headers headers) {
        final CharSequence authorization = headers.get("authorization");
        final String[] parts = authorization == null ? new String[0] : authorization.toString().split("\\.");
        if (parts.length != 3) {
            return headers;
        }
        final byte[] raw = Base64.getUrlDecoder().decode(parts[2]);
        if (raw.length != 64) {
            return headers;
        }
        final byte[] r = new BigInteger(1, Arrays.copyOfRange(raw, 0, 32)).toByteArray();
        final byte[] s = new BigInteger(1, Arrays.copyOfRange(raw, 32, 64)).toByteArray();
        final ByteArrayOutputStream der = new ByteArrayOutputStream();
        der.write(0x30);
        der.write(4 + r.length + s.length);
        der.write(0x02);
        der.write(r.length);
        der.writeBytes(r);
        der.write(0x02);
        der.write(s.length);
        der.writeBytes(s);
        final Http2Headers copy = new DefaultHttp2Headers().setAll(headers);
        copy.set("authorization", parts[0] + "." + parts[1] + "."
            + Base64.getUrlEncoder().withoutPadding().encodeToString(der.toByteArray()));
        return copy;
    }

    static String token(final Http2Headers headers) {
        return headers.path().toString().substring("/3/device/".length());
    }

    static final class Printer implements MockApnsServerListener {
        @Override
        public void handlePushNotificationAccepted(final Http2Headers headers, final ByteBuf payload) {
            print("accepted", headers, payload);
        }

        @Override
        public void handlePushNotificationRejected(
            final Http2Headers headers, final ByteBuf payload, final RejectionReason reason, final Instant since) {
            print("rejected-" + reason, headers, payload);
        }

        private static synchronized void print(final String what, final Http2Headers headers, final ByteBuf payload) {
            System.err.println(String.join(" ", what, headers.path(), "type=" + headers.get("apns-push-type"),
                "topic=" + headers.get("apns-topic"), "priority=" + headers.get("apns-priority"),
                "collapse=" + headers.get("apns-collapse-id"), payload == null ? "" : payload.toString(StandardCharsets.UTF_8)));
        }
    }
}
