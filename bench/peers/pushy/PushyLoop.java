import com.eatthepath.pushy.apns.ApnsClient;
import com.eatthepath.pushy.apns.ApnsClientBuilder;
import com.eatthepath.pushy.apns.DeliveryPriority;
import com.eatthepath.pushy.apns.PushType;
import com.eatthepath.pushy.apns.auth.ApnsSigningKey;
import com.eatthepath.pushy.apns.util.SimpleApnsPushNotification;
import com.eatthepath.uuid.FastUUID;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.handler.ssl.OpenSsl;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A closed loop over Pushy that stays warm between rounds. Settings are those of
 * its README and wiki page "Best practices": one long-lived client, follow-up
 * actions on futures, a semaphore for flow control, native TLS, one event loop
 * thread for a connection up to the number of cores.
 *
 * <p>Arguments are --name=value; after the warm-up it prints {"ready":true,…},
 * then for each line on standard input, a number of pushes, one JSON object. It
 * ends with its input.
 */
public final class PushyLoop {
  private static final int DEVICES = 1 << 17;

  private final ApnsClient client;
  private final String payload;
  private final int inFlight;
  private final String[] tokens = new String[DEVICES];
  private long next;

  private PushyLoop(final ApnsClient client, final int size, final int inFlight) {
    this.client = client;
    this.inFlight = inFlight;
    final StringBuilder b = new StringBuilder("{\"aps\":{\"alert\":{\"title\":\"Dinner is ready\",\"body\":\"");
    while (b.length() < size - 4) {
      b.append('x');
    }
    this.payload = b.append("\"}}}").toString();
    for (int i = 0; i < DEVICES; i++) {
      tokens[i] = String.format("%032x%032x", i * 0x9e3779b97f4a7c15L, i + 1L);
    }
  }

  public static void main(final String[] args) throws Exception {
    final Map<String, String> flags = new HashMap<>();
    for (final String a : args) {
      final String[] kv = a.replaceFirst("^--", "").split("=", 2);
      flags.put(kv[0], kv[1]);
    }
    final int connections = Integer.parseInt(flags.get("connections"));
    final int threads = Math.min(connections, Runtime.getRuntime().availableProcessors());
    final NioEventLoopGroup loops = new NioEventLoopGroup(threads);
    final ApnsClient client = new ApnsClientBuilder()
        .setApnsServer(flags.get("host"), Integer.parseInt(flags.get("port")))
        .setTrustedServerCertificateChain(new File(flags.get("ca")))
        .setSigningKey(ApnsSigningKey.loadFromPkcs8File(new File(flags.get("key")), flags.get("team"), flags.get("key-id")))
        .setConcurrentConnections(connections)
        .setEventLoopGroup(loops)
        .setUseAlpn(true)
        .build();
    final PushyLoop loop = new PushyLoop(client, Integer.parseInt(flags.get("size")), Integer.parseInt(flags.get("c")));
    final long warm = Long.parseLong(flags.get("warmup"));
    long failed = 0; // in rounds, so that the JIT sees them begin and end
    for (long left = warm; left > 0; left -= 100_000) {
      failed += loop.send(Math.min(left, 100_000));
    }
    System.out.printf("{\"ready\":true,\"failed\":%d,\"native\":%b,\"java\":\"%s\"}%n",
        failed, OpenSsl.isAvailable(), System.getProperty("java.version"));
    final BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      loop.round(Long.parseLong(line.trim()));
    }
    client.close().get();
    loops.shutdownGracefully().await();
  }

  private void round(final long n) throws InterruptedException {
    final com.sun.management.OperatingSystemMXBean os =
        (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    final long cpu = os.getProcessCpuTime();
    final long began = System.nanoTime();
    final long failed = send(n);
    final double seconds = (System.nanoTime() - began) / 1e9;
    final double micros = (os.getProcessCpuTime() - cpu) / 1e3 / n;
    System.out.printf("{\"pushes\":%d,\"failed\":%d,\"seconds\":%f,\"cpuMicrosPerPush\":%f}%n", n, failed, seconds, micros);
    System.out.flush();
  }

  /** Sends n pushes, never more than inFlight of them unanswered, and tells how many failed. */
  private long send(final long n) throws InterruptedException {
    final Semaphore room = new Semaphore(inFlight);
    final AtomicLong failed = new AtomicLong();
    final Instant expires = Instant.now().plusSeconds(86400);
    for (long i = 0; i < n; i++) {
      final long k = ++next;
      final UUID id = new UUID(k * 0x9e3779b97f4a7c15L & ~0xf000L | 0x4000L, k | Long.MIN_VALUE);
      room.acquire();
      client.sendNotification(new SimpleApnsPushNotification(tokens[(int) (k % DEVICES)], "com.example.bench", payload,
              expires, DeliveryPriority.IMMEDIATE, PushType.ALERT, FastUUID.toString(id), id))
          .whenComplete((response, fault) -> {
            if (fault != null || !response.isAccepted()) {
              failed.incrementAndGet();
            }
            room.release();
          });
    }
    room.acquire(inFlight);
    return failed.get();
  }
}
