/*
 * Functions that an Android library takes from Android's C library (bionic) and Linux's (glibc)
 * has not, or has with other numbers: enough for libtensorflowlite_jni.so on x86-64, whose mutexes,
 * conditions and stack protector happen to be laid out alike in both.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern long __sysconf(int name);
extern int __vfprintf_chk(FILE *file, int flag, const char *format, va_list arguments);

/* stdin, stdout and stderr are places in this array there. */
struct bionic_file {
  char content[152];
} __sF[3];

static FILE *own(FILE *file) {
  FILE *const streams[] = {stdin, stdout, stderr};
  for (int i = 0; i < 3; i++) {
    if (file == (FILE *)&__sF[i]) return streams[i];
  }
  return file;
}

int vfprintf(FILE *file, const char *format, va_list arguments) {
  return __vfprintf_chk(own(file), 0, format, arguments);
}

int fprintf(FILE *file, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int written = vfprintf(file, format, arguments);
  va_end(arguments);
  return written;
}

int fputc(int c, FILE *file) { return fputc_unlocked(c, own(file)); }

size_t fwrite(const void *data, size_t size, size_t number, FILE *file) {
  return fwrite_unlocked(data, size, number, own(file));
}

int fflush(FILE *file) { return fflush_unlocked(file ? own(file) : NULL); }

int fileno(FILE *file) { return fileno_unlocked(own(file)); }

int *__errno(void) { return __errno_location(); }

size_t __strlen_chk(const char *text, size_t size) {
  (void)size;
  return strlen(text);
}

int __system_property_get(const char *name, char *value) {
  (void)name;
  value[0] = '\0';
  return 0;
}

void android_set_abort_message(const char *message) { fprintf(stderr, "%s\n", message); }

int __android_log_vprint(int priority, const char *tag, const char *format, va_list arguments) {
  (void)priority;
  fprintf(stderr, "%s: ", tag);
  int written = vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  return written;
}

long sysconf(int name) {
  switch (name) {
    case 39: /* _SC_PAGE_SIZE */
    case 40:
      return __sysconf(_SC_PAGESIZE);
    case 96:
      return __sysconf(_SC_NPROCESSORS_CONF);
    case 97:
      return __sysconf(_SC_NPROCESSORS_ONLN);
    default:
      errno = EINVAL;
      return -1;
  }
}
