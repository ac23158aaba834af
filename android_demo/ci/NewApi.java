import java.io.File;
import java.io.FileInputStream;
import java.io.InputStream;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.codehaus.mojo.animal_sniffer.SignatureChecker;
import org.codehaus.mojo.animal_sniffer.logging.Logger;

/**
 * Prints what classes use that the oldest Android they are for does not have, a line each: the
 * class that uses it, a colon, what it uses.
 *
 * <p>java -cp animal-sniffer.jar:asm.jar NewApi.java SIGNATURES FOLDER_OF_CLASSES...
 */
public final class NewApi {
    private static final Set<String> PACKAGED =
            Set.of("dev.tfi2i.*", "kotlin.*", "org.tensorflow.*", "com.google.ai.edge.litert.*");
    // Line numbers and the names of nested and generated classes come and go.
    private static final Pattern FINDING =
            Pattern.compile("(dev/tfi2i/[\\w/]+).*?\\.class.*: Undefined reference: (.*)");

    // D8 makes these calls return a Buffer, as they do on an old Android.
    private static final Pattern REWRITTEN =
            Pattern.compile(
                    "(java\\.nio\\.\\w+Buffer) \\1\\."
                            + "(clear|flip|limit|mark|position|reset|rewind)\\(.*\\)");

    public static void main(String[] arguments) throws Exception {
        var findings = new Findings();
        for (int i = 1; i < arguments.length; i++) {
            try (InputStream signatures = new FileInputStream(arguments[0])) {
                var checker = new SignatureChecker(signatures, PACKAGED, findings);
                checker.setSourcePath(List.of()); // its default is null, which it then reads
                checker.process(new File(arguments[i]));
            }
        }
        findings.lines.forEach(System.out::println);
    }

    /** Keeps what the checker tells as errors. */
    private static final class Findings implements Logger {
        final Set<String> lines = new TreeSet<>();

        @Override
        public void error(String message) {
            Matcher finding = FINDING.matcher(message);
            if (!finding.find()) {
                throw new IllegalStateException("What does the checker say? " + message);
            }
            if (!REWRITTEN.matcher(finding.group(2)).matches()) {
                lines.add(finding.group(1).replace('/', '.') + ": " + finding.group(2));
            }
        }

        @Override
        public void error(String message, Throwable cause) {
            throw new IllegalStateException(message, cause);
        }

        @Override
        public void warn(String message) {
            System.err.println(message);
        }

        @Override
        public void warn(String message, Throwable cause) {
            throw new IllegalStateException(message, cause);
        }

        @Override
        public void info(String message) {}

        @Override
        public void info(String message, Throwable cause) {}

        @Override
        public void debug(String message) {}

        @Override
        public void debug(String message, Throwable cause) {}
    }
}
