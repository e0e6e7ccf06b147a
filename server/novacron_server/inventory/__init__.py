"""The picture of every host: libvirt's facts and the database's rows, composed into what readers see."""
