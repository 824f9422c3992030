/* glibc, linked statically, would load the machine's own name services (libnss_*.so) into this program when
   /etc/nsswitch.conf lists them, and crash if they are of another version. `files` and `dns` are built in:
   only these are asked. */
#include <nss.h>

__attribute__((constructor)) static void ask_only_what_is_built_in(void) {
    __nss_configure_lookup("hosts", "files dns");
    __nss_configure_lookup("networks", "files");
    __nss_configure_lookup("services", "files");
    __nss_configure_lookup("protocols", "files");
    __nss_configure_lookup("passwd", "files");
    __nss_configure_lookup("group", "files");
}
