#!/usr/bin/env bash
# Unpacks vsftpd, ProFTPD and Pure-FTPd from the distribution's packages into a
# cache folder, for tests tagged interop. Prints the folder.
#
#   internal/interop/install.sh
#
# FTPCLIENT_INTEROP_DIR names another folder. Nothing is installed: the three
# packages conflict with each other and start themselves, so they are unpacked,
# with the libraries that this machine lacks beside them. A second run returns
# at once. Needs apt-get and dpkg (Debian, Ubuntu) and the network the first time.
set -euo pipefail

packages=(vsftpd pure-ftpd proftpd-core proftpd-mod-crypto)
dir=${FTPCLIENT_INTEROP_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ftpclient-interop}

if [ -e "$dir/versions" ]; then
	echo "$dir"
	exit 0
fi
for tool in apt-get apt-cache dpkg; do
	command -v "$tool" >/dev/null || {
		echo "install.sh: $tool is missing; the servers come from Debian packages" >&2
		exit 1
	}
done

# apt drops its rights while it downloads, so the folder must be open to it.
debs=$(mktemp -d)
trap 'rm -rf "$debs"' EXIT
chmod 755 "$debs"
if [ "$(id -u)" = 0 ] && getent passwd _apt >/dev/null; then chown _apt "$debs"; fi

installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }
libraries() { # those that the packages depend on, directly
	apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
		sed -nE 's/^ *[|]?(Pre)?Depends: (lib[^<>]*)$/\2/p' | sort -u
}

if ! apt-cache show "${packages[@]}" >/dev/null 2>&1; then
	if [ "$(id -u)" != 0 ]; then
		echo "install.sh: apt's package lists are empty; run apt-get update first" >&2
		exit 1
	fi
	apt-get update -qq >&2
fi

wanted=("${packages[@]}")
look=("${packages[@]}")
while [ "${#look[@]}" -gt 0 ]; do
	found=()
	for lib in $(libraries "${look[@]}"); do
		if ! installed "$lib" && [[ " ${wanted[*]} " != *" $lib "* ]]; then found+=("$lib"); fi
	done
	wanted+=("${found[@]}")
	look=("${found[@]}")
done

download() { (cd "$debs" && apt-get download -qq "${wanted[@]}" >&2); }
# Lists older than the mirror name files that it no longer has.
download || { [ "$(id -u)" = 0 ] && apt-get update -qq >&2 && download; }

mkdir -p "$dir"
for deb in "$debs"/*.deb; do dpkg -x "$deb" "$dir"; done
for server in vsftpd proftpd pure-ftpd; do
	missing=$(LD_LIBRARY_PATH=$(echo "$dir"/usr/lib/*-linux-gnu* "$dir"/lib/*-linux-gnu* | tr ' ' ':') \
		ldd "$dir/usr/sbin/$server" | grep 'not found' || true)
	if [ -n "$missing" ]; then
		echo "install.sh: $server lacks libraries: $missing" >&2
		exit 1
	fi
done

# Written last: its presence says that everything above was done.
for package in "${packages[@]}"; do
	dpkg-deb --show --showformat '${Package} ${Version}\n' "$debs/$package"_*.deb
done >"$dir/versions.new"
mv "$dir/versions.new" "$dir/versions"
echo "$dir"
